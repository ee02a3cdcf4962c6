"""The database behind one interface: SQLite embedded, PostgreSQL for production."""
