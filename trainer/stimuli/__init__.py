"""Matched sets of pictures for people who study emotion: one scene at many points of the plane, with norms."""
