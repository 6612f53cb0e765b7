following address\(es\) failed:\s+(?<r>\S+@\S+)\s+SMTP error from remote mail server after [^\n]*\n\s*host (?<remMta>\S+)[^\n]*?: (?<diag>[45]\d\d [^\n]*)
