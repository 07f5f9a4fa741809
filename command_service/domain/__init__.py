"""What an order is and what may happen to it. Pure: time and ids are arguments, and nothing is imported
but the standard library and the currencies."""
