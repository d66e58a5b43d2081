"""Regular languages: RE2's syntax read exactly, automata built as they are walked, the shortest common word.

A language answers for any text; what cannot be modelled raises `Unmodelled`, what costs too much `Exceeded`.
"""
