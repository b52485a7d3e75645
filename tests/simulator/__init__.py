"""Tests of the simulated WeChat that the other tests call."""
