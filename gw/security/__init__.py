"""Who may connect and who may do what: certificates, passwords, tokens, roles."""
