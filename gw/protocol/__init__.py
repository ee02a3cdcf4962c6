"""uCentral: bytes to structs and back, and the rules of configuration. No I/O."""
