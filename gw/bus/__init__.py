"""The event bus: where the gateway publishes what devices tell."""
