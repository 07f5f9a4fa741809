"""The way of statements to PostgreSQL: pool, conversation, connection, messages, round trip. It knows no orders."""
