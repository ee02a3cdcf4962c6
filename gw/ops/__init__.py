"""Operation: metrics, logs, health."""
