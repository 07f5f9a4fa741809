"""The ports of the read side: what every store implements, the questions it answers, and the errors it raises."""
