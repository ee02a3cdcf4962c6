"""Backups, exports, and what comes from another gateway: commands beside the process tree."""
