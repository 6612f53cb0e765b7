Destinataire : (?<r>\S+)\nMotif : (?<diag>[^\n]+)
