"""`tandem orders …`, `tandem import` and `tandem sample`: reads the options, makes the call, hands the answer on."""
