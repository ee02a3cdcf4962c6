"""Live streams to browsers and scripts: WebSockets of the api process."""
