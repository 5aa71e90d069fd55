
/*
 * What an IP address is, for deciding whether it may be asked for something.
 * Plain C; no nginx, no I/O.
 *
 * An IPv6 address that stands for an IPv4 one (mapped, NAT64, 6to4) is what
 * that is.  Addresses at which clouds hand out the secrets of a machine are
 * link-local, also the few that are not by their number.
 */

#ifndef ACR_ADDRESS_H
#define ACR_ADDRESS_H

#include <stddef.h>

typedef enum {
    ACR_ADDRESS_PUBLIC = 0,
    ACR_ADDRESS_PRIVATE,       /* loopback, private, shared, unique local */
    ACR_ADDRESS_LINK,          /* link-local, and metadata of clouds */
    ACR_ADDRESS_UNUSABLE       /* nobody's: unspecified, multicast, reserved,
                                  for documentation */
} acr_address_e;

/* of an address of n bytes in network order: 4, or 16; any other is unusable */
acr_address_e acr_address_class(const unsigned char *a, size_t n);

/*
 * Reads an address as it stands in a URL, IPv6 without its brackets: the number
 * of bytes of a that were set, 4 or 16, or 0 if it is none.
 */
size_t acr_address_parse(const unsigned char *p, size_t n, unsigned char *a);

#endif /* ACR_ADDRESS_H */
