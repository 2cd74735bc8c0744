"""Every kind of storefront against whatever bytes and headers there can be: ``make fuzz``, and briefly in every test.

A *case* is what comes over the wire: headers and a body. :mod:`.subjects` says for each kind what may be made of a case
and what must hold of it; :mod:`.cases` makes cases, from the samples and the fixtures by structure and by bytes;
:mod:`.__main__` runs them for as long as is wanted, guided by coverage where ``atheris`` is installed.
"""
