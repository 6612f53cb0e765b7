(?m)^ *Address: (?<r>\S+@\S+)\n *Answer: (?<diag>[^\n]+)
