"""A boot chain that really verifies and really measures, against a TPM in software, with artefacts of the real tools.

``artefacts`` makes a release once, ``machine`` boots it as often as asked, ``measurements`` says from the files alone
what a boot of it must measure.
"""
