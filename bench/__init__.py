"""Measures, on real servers, every limit on speed that the project claims.

Each result is compared with floors (what a server alone needs) and with peers (other programs that do the same).
"""
