"""What an order is and what may happen to it. Pure: the standard library only; time and ids are arguments."""
