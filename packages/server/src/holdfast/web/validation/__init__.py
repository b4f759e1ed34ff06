"""The port where anybody asks what still counts: revocation lists, OCSP and issuers' certificates over plain HTTP."""
