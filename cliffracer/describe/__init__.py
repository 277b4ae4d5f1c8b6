"""What a tree offers to others, as data: schemas of its handlers, for people and for programs.

handlers  JSON Schema of one handler
"""
