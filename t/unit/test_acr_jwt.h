
/*
 * Keys of test_acr_jwt.c.  The private ones were made by openssl for this file
 * and are of no other use: they are public, so never put one into a server.
 */

#ifndef TEST_ACR_JWT_H
#define TEST_ACR_JWT_H

#define RSA_PEM \
    "-----BEGIN PRIVATE KEY-----\n" \
    "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQDJDrXkvtE1fMsh\n" \
    "JpOk2PtE7l0wJoqSucoIXqbiVE5diU9/NCssD4sAnIrTu0sYTNzc5dgWeEWncTKl\n" \
    "V/nui8uUIvLu68p3O9RY8v9hOVwOE5/tmuogJV+MKuZd+z87ojeUBuVUgphW0Pyl\n" \
    "Uz54ynhX8Apg+bC5teIYrLEqk/A9bljzDniUXXvrPPazOVhif0qeVMqoO5GXx5jf\n" \
    "9Eyc4eG6jnvTctzavnA/asuOo9NZRSWR5L7/lpTg6Wrh+lhaoQ4nd0vAr6QC7pq2\n" \
    "BbdV8GY+mZqb/InVDLK2AKEu2j9cd+klqUkaTx3p49IscNyoKq7gQ5Y45hrYUgfy\n" \
    "SwNQdJ29AgMBAAECggEACfqxOa0JOUWOacn1PhNjkMkpsclFpu62740g2s7+I5yp\n" \
    "+lF5/V/d1hPvBch7e7WSqNC+jK72aGF6QA2KrDXVzu58AOmOA+2YlE45DQoJzINZ\n" \
    "/aDYyhA+iGY3kF13PbdZfbX7DbXqQ34CR6giXfK+u4oS0KlmTrqPggqXH20I69pr\n" \
    "V4UuUU+BLGeOd/CX5psaiaM4da/k2O8Crqi73fMxM3i47Xx/so9Z5+qxng/UVVay\n" \
    "6UsneOdmBBHuCSYpmSn9wTpdwurnoJQY/t8aGWCq22WytRdItUQYX8hrWN66Aggy\n" \
    "U7DSbs4eGJI+hJpeplghtxG/ukHzlNVDhPDcR6ouSQKBgQD8DRXhogJIlUQJXV7A\n" \
    "r9aDhq7NSSZ6c8DRCNMoREW+K5Vy8lRr6ei9w36INkfxLGqOqkZGwkT+hr1QUZFg\n" \
    "7p7J2mr5ffcUWPVkKHdllIOq4nRmVkbWW2PRIDpLpFtbhXaqByInDBotQmvhVGmA\n" \
    "HoXDKrgGyg4YeA0DQh3k8P9E6wKBgQDMNRomrofi9N3UnkOojshwA6e2pltWtdAJ\n" \
    "HrPXqTSRqfBvqu2wW2yst8cV+hjpki7p7DNx3xo490MH5+5tjCaZUEEKOk3HT9PO\n" \
    "0UZ38Y0jSKyJnGpYQJhcKhK4G12KwljM2ww3YPp5RKl1ZeOIdqwWyYg8tR1M7ATz\n" \
    "g/Y/UW+d9wKBgQDKvQ/LtQ/XKFFYowTzQrzugKgcMenEd1UyDsIiUoAyzkXg9rEX\n" \
    "OEfgU950XA0UHeD8LlRm2B69CM5AS8v/RxDsVkbTthHHCSMhVDdtur8J9isgoedK\n" \
    "xqoMbbrWWzas8DaZ3zEGbYKkwxeZYNeXmXWIndT2iRI7dl0pMMZw/7SkzwKBgDj7\n" \
    "DEwE4Vf7+bYtXzW2ecl/y5mUu+HrI5yX25ju1wNaRwPxzxcpu55KPZwtSCxMpRiS\n" \
    "1xwMI/YHUMXw+r/InrCjCzL+Z9uYs8J+9MndNgPFcJeJdMchZyI4fzauNCDW8A5h\n" \
    "hPwi7GFQPnTKtH3Ml2JYY9KEuyNOrGcCyICMiberAoGAK7g/Ga3h5z+jyjpApUiv\n" \
    "Q85K5oU3qlch2gfYxr/lqVTnsqKA4dL3pm/pjsX2McSdoHD07zEvzLvjGgIFrIwo\n" \
    "BnWMSir7V+uTHycT2QmeJEOF+yN0Nv5jDwKnLkt6fMuz1ZsrL2WwAExEdw0SUG0j\n" \
    "+7E/jeq0K0y9c1R9pK+FOvw=\n" \
    "-----END PRIVATE KEY-----\n"

#define RSA_PUBLIC \
    "-----BEGIN PUBLIC KEY-----\n" \
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAyQ615L7RNXzLISaTpNj7\n" \
    "RO5dMCaKkrnKCF6m4lROXYlPfzQrLA+LAJyK07tLGEzc3OXYFnhFp3EypVf57ovL\n" \
    "lCLy7uvKdzvUWPL/YTlcDhOf7ZrqICVfjCrmXfs/O6I3lAblVIKYVtD8pVM+eMp4\n" \
    "V/AKYPmwubXiGKyxKpPwPW5Y8w54lF176zz2szlYYn9KnlTKqDuRl8eY3/RMnOHh\n" \
    "uo5703Lc2r5wP2rLjqPTWUUlkeS+/5aU4Olq4fpYWqEOJ3dLwK+kAu6atgW3VfBm\n" \
    "Ppmam/yJ1QyytgChLto/XHfpJalJGk8d6ePSLHDcqCqu4EOWOOYa2FIH8ksDUHSd\n" \
    "vQIDAQAB\n" \
    "-----END PUBLIC KEY-----\n"

#define RSA_OLD \
    "-----BEGIN RSA PRIVATE KEY-----\n" \
    "MIIEpAIBAAKCAQEAw2FB9/LcWFw/WRvGG1B0Lb84tdY0SmyfWwXEKNKXSsVCRuE3\n" \
    "qbbVe6c7Q1jGnzy2RQE9kE5xFzD4HHk3mKyB2uDA5LU7il819Ey5Izkx1AZXFItT\n" \
    "LOgXmFOi3i0jh7XWsFjGWOnkcOVe66PMr55WJreQpHaHhAoTeVpDLrBU9cQRwo4T\n" \
    "tHZcAyABtNUm3nnd9K/V87VgcCy8boAIw73p9HYJPeQ9kk6DpVFVVqZB4xb2QDxH\n" \
    "5d1h4M2CaNGxrDQ/R2JIfT7Nr1nnh8WKqu5NpSB8SH2l9ZibQHeZ97TqQwJQcIiM\n" \
    "wGI299TC5YR7xQ0WvQFiqzejaRqdZ9Fze5I3gQIDAQABAoIBAAIFRiR+UZu6HA9i\n" \
    "+NAyK3pPaxK56GT63wzPt1gS9XruQf4ajizQ7s4OWnqMtyhC4OwjGyWqeDyARntI\n" \
    "daXYyf07ukL4l4V9fpY9/cbXCQf/3+XJmxW3zvv+iIyrrYEOr+23Z/zX3KAQDW9B\n" \
    "jKMJqJ0Zcq3yhoi007+e38zGCL51ecvgV9LPAZv5ZGMKQH0ixHSjdKAjhD/GEzUV\n" \
    "65ji/TYBSieGGXyMvwNXKSeJNKaLgv/g7L7Znu5eY6rqheAixJFYSHFLQIW3HBOp\n" \
    "NU0T7tieeyJEeYPy9zEXj+yczB/UNyo+5n37A7NAiicGfpIbUsxjBRA/wy5xXEFB\n" \
    "vyiSvcECgYEA6PuydPpUWfiQ+PYCLG5+p87Of5OCKMzQmkJsjudTASEW2HXNKzuz\n" \
    "JWtnnOsCZFFmh6QMhm3dekfptH0t7rnNv6JEwHHwlX6HCTL47xTCgXa9aS9xxx8W\n" \
    "FJAro8x3VLTnzo4xGfoWn9bTB5E9bPXspohx5RvHDUFh17kGPLA5gAUCgYEA1q6M\n" \
    "VNl2dL65M2ODlh2AvNXXH6LKUhf9gSrPkSRLu6ES6voE5VsiqujZwPhuE7eQ9fmM\n" \
    "2uboEOWcXMmTAuhrxcWHSQBXcA+5g8+HlgXXY2Pwg3SDz5HWcwa3WXs1lXyETxj1\n" \
    "TVfFquuzpVW2QXJAU8btSPUxLeo+uEWflEKnvk0CgYEA0v0Nca45sXjPIQb4lPBD\n" \
    "twgsLZCSMQy6ZNh+ozOOEdm7bK/R67MW225W2N5iviKRbYj85sib5980IAW1ERom\n" \
    "38K97GHC9D8vXv9QPINaWhAEHDuhGChowJqHSsEh2A40VvSiNtoqnvnXBmVbcU+M\n" \
    "zouGSWtMag6p4shmg5M7n1kCgYEAq7egbfonwwgPUWiHB1r/74vIb/ihhnrD/j6F\n" \
    "Gt6CaUlUvXlQ0zhLiZOJIc5VFhZdsDJ1FV9fPqy6nolpuwi3s9Dk/mJ0jiE1zZYB\n" \
    "KOHxQAHfjvZyvGQ1uXokzEE+Qh0AI9id1cigRrAT2OqvRrghdiGHCTV+qfBVTMX7\n" \
    "9/Y9AH0CgYBwHyQoheyBBmBA5fVO3O6gGDIex8wAR9GWOtL/iEJ9VZX8FkaEYjwX\n" \
    "d8ezqGE+pfilwgIDnWdBem+VVnqr03RyRwPUy4dOa/o0qV8LH6YuqCmxN0dzXnrs\n" \
    "oI0h3U4L38WDVNMMwdTzzJsr5ym62Ajhq02ZriFxnYUa/I/FU++xxA==\n" \
    "-----END RSA PRIVATE KEY-----\n"

#define RSA_SMALL \
    "-----BEGIN PRIVATE KEY-----\n" \
    "MIICdgIBADANBgkqhkiG9w0BAQEFAASCAmAwggJcAgEAAoGBAKeHqc3k9R4Vz2t1\n" \
    "ELMDCSmAe5Z2Hh+ihcM3nsV6zlDKCJ12Um+Qp41c1jZTrkqESuVnZYA/hoGs0ehC\n" \
    "k+FEMhGqSuf8t57gvmtvKEOopzdNMRx+OqK+mC9DW2GUy0JiTQvu2I/iI9LdNae7\n" \
    "KSRWrJHcq6GvFjo2K+Lz0KcCsdvzAgMBAAECgYEAhyBwwScE4uBarmT9NDalpDkC\n" \
    "9miNgZy4Ya6yPL0CPr3G1yNB+MTnsKkKC0XR1j8AniqY/ym+F0hLAxj4aIF2E+U+\n" \
    "+znRk8myLYSMTHPkZ8DrAnbpLvq6R674NcULei3zV/baEkt6i8ckj6lMvdEqQisd\n" \
    "TGwhF37u4KUDEebckYkCQQDXUPE8D9gv2sd+bciHKEo4Ru/BRhK9SlX2YeL/efQQ\n" \
    "9ZsrIJPGLoNgdyBtr38yO+JSIvxGRRjZFze2YDcgb/OtAkEAxy9AtFdCmY5sgox6\n" \
    "ditphKfoW1z01aExZr1BSRvTJrs1kuM9o/n2mPjI206TosCHYJPa1YmMpKbpZOj/\n" \
    "EawCHwJAYiy78cDft+IveAwilM3gGYzuoNeMj9anH3I+iHJYwKrcF2wBNSncKU3n\n" \
    "8VtFyefYJ89f68Jxs/qMIpH4UMf6+QJALEnJbU/psxMD9ZMet5+3epOLCqWEmuuY\n" \
    "fGugVI0nSfleVCbK0ecGecT3hCvYj9uXPlYh1lEbQJEMXC+iZ1+DqQJAaezi0BvM\n" \
    "SaVDPKjNQi1XEvSdRJhrn8j6tUzPRW9mpnsjYKX2gbzqiDcBeSBmXHftbFSw3i0E\n" \
    "AtEij+NRFT/6YA==\n" \
    "-----END PRIVATE KEY-----\n"

#define RSA_PSS \
    "-----BEGIN PRIVATE KEY-----\n" \
    "MIIEugIBADALBgkqhkiG9w0BAQoEggSmMIIEogIBAAKCAQEAoW/K4ZR860chF7zU\n" \
    "kdX1l1BKMevp6dcgHleBLkpzKi0rDPqxkzQTTGYXQ1kbdg+eVL+ozas1dXkRXwDw\n" \
    "DfE7Rmlyiha7A8kPA+cwxwod7kfQZA1DRQ1G/1eI6sUYHN2J7MwMu+LnXk8x6SGt\n" \
    "WdF2QtjM/+/ti0sXJuoT+H8SxWYk+kmQkJsrRl3A7kjSnuEK78l2A30s5tTLIzy8\n" \
    "F4ZPG44KMvzqM+fuEr7RLP6vXShIMtzmiZUfp13WUpD3Go4RANyZdyU5oK6VmLKP\n" \
    "vnBG/T7uFxfg//84QEaJ8n/33zZ1P+vjDpC7EoCe7AZIvtLHYL/H/fdpTZEK8fHd\n" \
    "8BIVwwIDAQABAoIBAAIIPzyRuvTXQ2JiHSbs05ehCh4QwzQPYjcfkN+9Ti/Uu7sB\n" \
    "GOUqfaezjU1qvL7CuZKFiyFzq0ucR4yznVH/nGhpgWidmqMUj9zTtzh6NyA9xTDN\n" \
    "PfCLlz41ouKZspECdO8HLo3a8GCujIlLxDviOCPlSMdcBNiBDHyP68pwBxN3DZe6\n" \
    "UHnpytnf2lLBJ0EI4khJ8a/6GaRlNkd3ctJqNQSSo9wH42HIXoNPVtjw+6gS8WmA\n" \
    "sIVTULB3B5TR7hulk/RVIm1SQet5vXloMffMDKJ76U64dc159RW6MMca0dLDTcC1\n" \
    "oAPrplvD29AWQLtQ/RMLq0djJ14QXNjJ+VcpGPECgYEAzdoPS37jnxgxXwrhkWNV\n" \
    "lrneKGjQlXfhck+NKEq5L8G2ZyHO7LkhiLHmSbaVTRmcc/vnM5JpI6rRjM4YbLzQ\n" \
    "zapzECGab21AEfWRNko0LaallK2WohUnqA4COtEzcH03WY6xPUHhKsEJsKmCxVKV\n" \
    "gMfs4q7ywv2DxRTU8fZgQ7sCgYEAyMPJQZXSnfiVNBXVuFSi8Ec50TJ6cM1T88SQ\n" \
    "xI9aLRKUKsWLQ2ZfSJ6kWXNcedRFjLTpR5iUjUbMMfsogTA44yvfhrXVf4Aum3wi\n" \
    "eWrrmLUSbqCAJwswIsHaB1vCxtBsy6FJUTpToKKyVF3MzRkqOd0riq7EfjdPtJhI\n" \
    "A4RDoZkCgYBlY2y7G4FTP+A5VqupJ0rllSB1uMJbjBMvcT0uRjeV7QxBGabIc5qv\n" \
    "sCej0NkSg3XKrpy+ivNcDOtvNadUD1+snLJVlKdzEFVJQzFFkyDGB1lwtFsH8/F3\n" \
    "VYcFnzp9wj67zos/h642l6OFLshpFfbq2g2zzMVnAuSe8la74kShtwKBgGNCeXSV\n" \
    "sIYt6wbPbNUv80c8z9cgT+0Jd2JkYvbrsTfroZnsBUiTirSKytL2+Fe7nY9NurCN\n" \
    "PZUD1d04QfRtdRLMFD20FRRuuZxiKWFCfa0IiU5syC+Floz4ruVIdup5DfE3kto4\n" \
    "LjSTe/u+TI1yza/CK87rTXbhveSaDbC/afixAoGAI2l7oS5C/78JdaNGtfqbl6dZ\n" \
    "TFFmpHImi23rNZ1OIE5ZeKPadlDdH0OXc2X20KSOQSz0//3s6ZBWveJXrf3lmOaF\n" \
    "1CEV2r5xooy1LUlOJ+D3t8ZkDkyZEqhN0baSLg8aOKz/Gq2s9LSIvtm74FQ8tahm\n" \
    "yNnjwAfqnGjaqiAuk44=\n" \
    "-----END PRIVATE KEY-----\n"

#define P256_PEM \
    "-----BEGIN PRIVATE KEY-----\n" \
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgOZnN7ZNuSrMsQIAJ\n" \
    "gTUsuSUI77j6dgD39SxdUnmAhvChRANCAARH+B1sbGPM4lKCdE1wTZ6dIeO3UcdP\n" \
    "GZsNOIuiLizU5cKXQQWqxIib6qTYuLaxTOF2zd7F1f2NSXm2mG2eyaQU\n" \
    "-----END PRIVATE KEY-----\n"

#define P256_PUBLIC \
    "-----BEGIN PUBLIC KEY-----\n" \
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAER/gdbGxjzOJSgnRNcE2enSHjt1HH\n" \
    "TxmbDTiLoi4s1OXCl0EFqsSIm+qk2Li2sUzhds3exdX9jUl5tphtnsmkFA==\n" \
    "-----END PUBLIC KEY-----\n"

#define P256_OLD \
    "-----BEGIN EC PARAMETERS-----\n" \
    "BggqhkjOPQMBBw==\n" \
    "-----END EC PARAMETERS-----\n" \
    "-----BEGIN EC PRIVATE KEY-----\n" \
    "MHcCAQEEILRa+uqpGzwcFkxyXDDT2pKvYgc1AduTJUmVy3mVFGi1oAoGCCqGSM49\n" \
    "AwEHoUQDQgAEoikcOBW1a45zhtBaEIuCG5gGM75/YdXxkhuST+o//o+yE7GwJ1gN\n" \
    "DiiCX5xZuKQfMhMxIdkOG+FbAcPVWR4IKA==\n" \
    "-----END EC PRIVATE KEY-----\n"

#define P256_ENCRYPTED \
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\n" \
    "MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAivQXhcgSpt+AICCAAw\n" \
    "DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEB4k5A2sDiJ/IlVgneJF5okEgZC2\n" \
    "GTHFAtUENkeH3LFnVq5Va8Ko6rgwozmxQYKXoV1mzIBkdoDNO9bSFdOvxCivgNt/\n" \
    "ilbi64oc4juD5LXkMm7QU3Z9KmxetP//zSYTvU8DXmLGKdbzUwp6xtWURHRSn1Y0\n" \
    "eTeTm3UvJpLaljUuaVjSE0Uzi/2GacmB9bZhbtRZ6Alnk0folHBY8MtFDB3Dw44=\n" \
    "-----END ENCRYPTED PRIVATE KEY-----\n"

#define P256_OLD_ENCRYPTED \
    "-----BEGIN EC PRIVATE KEY-----\n" \
    "Proc-Type: 4,ENCRYPTED\n" \
    "DEK-Info: AES-128-CBC,ACDC711DC30A5850C01E179A62DAC11F\n" \
    "\n" \
    "La8BU1CT3BC+Dl5EsCDJIPlyFQYMXD6SkMe1GiMm5EC4p2c5n99QvrU7/TDELOmk\n" \
    "I5lORJ0UywXaAYPbJcF8PKySCrXzaMQw+z2w9iNM6nQDiN9qNHDzocnj8HpwtSwi\n" \
    "M1F/S5+RsoeL+0A0ZWwMutTsePA55kB7FMmz0Pb7d3I=\n" \
    "-----END EC PRIVATE KEY-----\n"

#define P384_PEM \
    "-----BEGIN PRIVATE KEY-----\n" \
    "MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDAdKJIHEub4M7tuSBUb\n" \
    "beqObTT7G8A7uUDKxtImG8DdVVu00pw7LdLbKQAtrbiMXIihZANiAAQvhPgqIDXk\n" \
    "ihzu2lLXStyDI92U8tk+B+S4FuaoNPY+tCp0ZKvqOhuCUC5axPYzIIGJvE93QIIY\n" \
    "YH1JAV4fdOMZKhuEwT9Ipr93p/mmM5cXwjyGQ0pDKAFC8+ZNNhiH5M4=\n" \
    "-----END PRIVATE KEY-----\n"

#define P384_PUBLIC \
    "-----BEGIN PUBLIC KEY-----\n" \
    "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEL4T4KiA15Ioc7tpS10rcgyPdlPLZPgfk\n" \
    "uBbmqDT2PrQqdGSr6jobglAuWsT2MyCBibxPd0CCGGB9SQFeH3TjGSobhME/SKa/\n" \
    "d6f5pjOXF8I8hkNKQygBQvPmTTYYh+TO\n" \
    "-----END PUBLIC KEY-----\n"

#define P521_PEM \
    "-----BEGIN PRIVATE KEY-----\n" \
    "MIHuAgEAMBAGByqGSM49AgEGBSuBBAAjBIHWMIHTAgEBBEIBTctKT9k9UdOksfV/\n" \
    "KttP0+X49w+SHOCDmMpzGtOmjTTNu9Ive5uXVl1cdcAISThVHsjBpCNH083Q2ou1\n" \
    "52hrY9GhgYkDgYYABAAoQnHmXa/cCAaCtFHLsJlWrA8tdOxZFLJryYXTMmmXD47U\n" \
    "RWIOUEG18KYiIN/lgOuNr64OM09A3WCbbhPXSNw7TQDeFBgfo1nG7HHxiE6o2ooO\n" \
    "wGpBB+ZG+5WkzIQaxq4NJhQ7KiFR/YO4nDyFcON9YXaK7cp3hj8m9xVM9SyV/LO9\n" \
    "rg==\n" \
    "-----END PRIVATE KEY-----\n"

#define SECP256K1_PEM \
    "-----BEGIN PRIVATE KEY-----\n" \
    "MIGEAgEAMBAGByqGSM49AgEGBSuBBAAKBG0wawIBAQQghedYV0sF4XnjaEhI6mSC\n" \
    "+0m2lAisiqg8iUfJTHbM/PahRANCAATSEBIxZYVcNJQZIN/vLEKrPuePoO+id0vd\n" \
    "9HwSv2ll5d4HviL+d4KNKzltwftQsQjlmKvcGEIMcesNsTZF4zoy\n" \
    "-----END PRIVATE KEY-----\n"

#define ED25519_PEM \
    "-----BEGIN PRIVATE KEY-----\n" \
    "MC4CAQAwBQYDK2VwBCIEIO26blyXrMP+8wNVe0smNMPoPm64Ok88LZW9FeJS0Lf+\n" \
    "-----END PRIVATE KEY-----\n"

#define ED25519_PUBLIC \
    "-----BEGIN PUBLIC KEY-----\n" \
    "MCowBQYDK2VwAyEAn5mzz5+W2QppydpEp79SXPuQX3ewi0LmK+ie9m1z6eQ=\n" \
    "-----END PUBLIC KEY-----\n"

#define X25519_PEM \
    "-----BEGIN PRIVATE KEY-----\n" \
    "MC4CAQAwBQYDK2VuBCIEINB3yjws+cDWC2OFIIKBE9XVsjwG+UiiHyalIFdYdpd9\n" \
    "-----END PRIVATE KEY-----\n"

#define ED448_PEM \
    "-----BEGIN PRIVATE KEY-----\n" \
    "MEcCAQAwBQYDK2VxBDsEOY85edHLDdB63mjIMTc+8lEjTIDfAOEfBZFZKbjAQCz2\n" \
    "BwChrXaOmUsaBdgfMz/b087KNh5gY48OIw==\n" \
    "-----END PRIVATE KEY-----\n"

#define CERTIFICATE \
    "-----BEGIN CERTIFICATE-----\n" \
    "MIIBbTCCAROgAwIBAgIUUyRfrkJ0u656v/kFaeikjOBntykwCgYIKoZIzj0EAwIw\n" \
    "DDEKMAgGA1UEAwwBeDAeFw0yNjExMjUyMjQ0NDVaFw0yNjEyMjUyMjQ0NDVaMAwx\n" \
    "CjAIBgNVBAMMAXgwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARH+B1sbGPM4lKC\n" \
    "dE1wTZ6dIeO3UcdPGZsNOIuiLizU5cKXQQWqxIib6qTYuLaxTOF2zd7F1f2NSXm2\n" \
    "mG2eyaQUo1MwUTAdBgNVHQ4EFgQUp6pjPuuCZYWPPCM9bu0qpFhRz0QwHwYDVR0j\n" \
    "BBgwFoAUp6pjPuuCZYWPPCM9bu0qpFhRz0QwDwYDVR0TAQH/BAUwAwEB/zAKBggq\n" \
    "hkjOPQQDAgNIADBFAiEApVHRJDon+FfjIkwEdNUKQtvZ8B6CT+wTEyHt19wqI5oC\n" \
    "IC4sBcsULZatqSdFbrXSp3A7kIQ8vMT21Wuqses40iS/\n" \
    "-----END CERTIFICATE-----\n"

#define P256_MISMATCH \
    "-----BEGIN PRIVATE KEY-----\n" \
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgOZnN7ZNuSrMsQIAJ\n" \
    "gTUsuSUI77j6dgD39SxdUnmAhvChRANCAASiKRw4FbVrjnOG0FoQi4IbmAYzvn9h\n" \
    "1fGSG5JP6j/+j7ITsbAnWA0OKIJfnFm4pB8yEzEh2Q4b4VsBw9VZHggo\n" \
    "-----END PRIVATE KEY-----\n"

/* the numbers of JWK */

#define RSA_SMALL_N \
    "p4epzeT1HhXPa3UQswMJKYB7lnYeH6KFwzeexXrOUMoInXZSb5CnjVzWNlOu" \
    "SoRK5WdlgD-GgazR6EKT4UQyEapK5_y3nuC-a28oQ6inN00xHH46or6YL0Nb" \
    "YZTLQmJNC-7Yj-Ij0t01p7spJFaskdyroa8WOjYr4vPQpwKx2_M"

#define RFC7515_N \
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHm" \
    "fHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_" \
    "YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5" \
    "z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uD" \
    "Zlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9ia" \
    "GNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"

#define RFC7638_N \
    "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtV" \
    "T86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64t" \
    "Z_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2Q" \
    "vzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbO" \
    "pbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_" \
    "xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"

#define RFC7515_RS256 \
    "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTk" \
    "zODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4h" \
    "iUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7" \
    "AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKB" \
    "YNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb" \
    "1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZES" \
    "c6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5A" \
    "XLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"

#define RFC7515_ES256 \
    "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTk" \
    "zODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEh" \
    "U3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSA" \
    "pmWQxfKTUJqPP3-Kg6NU1Q"

#define RFC8037_EDDSA \
    "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgy" \
    "Y0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5" \
    "BhVsPt9g7sVvpAr_MuM0KAg"

#endif /* TEST_ACR_JWT_H */
