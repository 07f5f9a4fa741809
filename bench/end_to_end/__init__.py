"""From a command to the question that shows it, beside what the stages cost alone."""
