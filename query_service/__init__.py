"""The read side: projects the stream into a read model, and answers questions from it."""
