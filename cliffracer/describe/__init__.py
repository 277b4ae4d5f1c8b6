"""What a tree offers to others, as data: schemas and stubs, for people and for programs.

handlers     JSON Schema of one handler
schema       JSON Schema of types
offers       which actors a tree has, by name, and which parts of it are not known before it runs
asyncapi     a whole tree as an AsyncAPI document
client       a whole tree as a module of typed stubs
definitions  classes as Python source
annotations  types and values as Python source
names        the names in a module that is being written
"""
