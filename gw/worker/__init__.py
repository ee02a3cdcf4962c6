"""Worker process: the device sockets, mutual TLS, WebSocket sessions and framing."""
