"""Stage bodies, one file a stage, in folders by what they work on.

A body takes keyword arguments, one for each input, parameter and model of its row in `svdaudio.methods.stages`, and
`note` if it has remarks; it calls one library function and returns arrays. Bodies import the library, never flows.
"""
