"""Tests of syncjob: each states a behaviour, against real sockets and real databases."""
