"""Projects single orders again from the write side's journal, in place, while readers read and projectors project."""
