"""Facts without I/O: identifiers, errors, limits, settings, and what crosses a queue."""
