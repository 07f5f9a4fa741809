"""Questions in, answers out: checks a request, calls the use case, and puts the answer or the error on the wire."""
