Complaint about mail from host (?<dlvSourceIp>[0-9a-f.:]+) to (?<rcpt>\S+@\S+)
