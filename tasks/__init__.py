"""Stage bodies, one file per stage, in folders by what they process.

A body takes keyword arguments, one for each input, parameter and model of its row in `svdaudio.methods.stages`, and
`note` if it writes notes; it calls one library function and returns arrays. Bodies import the library, never flows.
"""
