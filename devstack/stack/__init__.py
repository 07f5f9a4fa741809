"""The local stack: which services run where, how they are started, proved and stopped, and how they are doing."""
