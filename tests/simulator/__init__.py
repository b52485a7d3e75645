"""The made-up WeChat that the other tests ask."""
