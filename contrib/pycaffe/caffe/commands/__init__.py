"""Caffe's programs: the command ``caffe`` and the tools, with the names and arguments that they had in Caffe.

Each translates its arguments for a command of ``cafx``, which does the work.
"""
