"""Turns the text of an order, and the text of a search, into comparable words.

`folding` and `letters` fold words, `runs` splits scripts without spaces, `phones` normalises phone numbers. `stored`
gives the words of an order, `asked` the conditions of a search.
"""
