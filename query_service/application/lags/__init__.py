"""Where the time goes between a command and its answer: lags by stage, over the last minutes."""
