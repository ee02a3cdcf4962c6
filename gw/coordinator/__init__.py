"""Coordinator process: one per node; owns the database, the devices' facts, and the bus."""
