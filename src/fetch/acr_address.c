
#include "acr_address.h"

#include <arpa/inet.h>
#include <string.h>


typedef struct {
    unsigned char   prefix[16];
    unsigned        bits;
    acr_address_e   class;
} acr_address_net_t;


static acr_address_e acr_address_find(const acr_address_net_t *net,
    const unsigned char *a);
static acr_address_e acr_address_v6(const unsigned char *a);


/* the registries of special-purpose addresses, narrow before wide */

static const acr_address_net_t  acr_address_nets4[] = {
    { { 0 },              8, ACR_ADDRESS_UNUSABLE },
    { { 10 },             8, ACR_ADDRESS_PRIVATE },
    { { 100, 100, 100, 200 }, 32, ACR_ADDRESS_LINK },   /* metadata */
    { { 100, 64 },       10, ACR_ADDRESS_PRIVATE },
    { { 127 },            8, ACR_ADDRESS_PRIVATE },
    { { 168, 63, 129, 16 }, 32, ACR_ADDRESS_LINK },     /* metadata */
    { { 169, 254 },      16, ACR_ADDRESS_LINK },
    { { 172, 16 },       12, ACR_ADDRESS_PRIVATE },
    { { 192, 0, 0 },     24, ACR_ADDRESS_UNUSABLE },
    { { 192, 0, 2 },     24, ACR_ADDRESS_UNUSABLE },
    { { 192, 88, 99 },   24, ACR_ADDRESS_UNUSABLE },
    { { 192, 168 },      16, ACR_ADDRESS_PRIVATE },
    { { 198, 18 },       15, ACR_ADDRESS_PRIVATE },
    { { 198, 51, 100 },  24, ACR_ADDRESS_UNUSABLE },
    { { 203, 0, 113 },   24, ACR_ADDRESS_UNUSABLE },
    { { 224 },            4, ACR_ADDRESS_UNUSABLE },
    { { 240 },            4, ACR_ADDRESS_UNUSABLE },
    { { 0 },              0, ACR_ADDRESS_PUBLIC }
};


/* what stands for an IPv4 address is not here */

static const acr_address_net_t  acr_address_nets6[] = {
    { { [15] = 1 },     128, ACR_ADDRESS_PRIVATE },
    { { 0, 0x64, 0xff, 0x9b, 0, 1 }, 48, ACR_ADDRESS_UNUSABLE },
    { { 0x20, 0x01, 0 }, 23, ACR_ADDRESS_UNUSABLE },    /* Teredo, ORCHID */
    { { 0x20, 0x01, 0x0d, 0xb8 }, 32, ACR_ADDRESS_UNUSABLE },
    { { 0x3f, 0xff },    20, ACR_ADDRESS_UNUSABLE },
    { { 0x20 },           3, ACR_ADDRESS_PUBLIC },
    { { 0xfd, 0, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54 }, 128,
                             ACR_ADDRESS_LINK },        /* metadata */
    { { 0xfd, 0x20, 0, 0xce, [15] = 0x54, [14] = 0x02 }, 128,
                             ACR_ADDRESS_LINK },        /* metadata */
    { { 0xfc },           7, ACR_ADDRESS_PRIVATE },
    { { 0xfe, 0x80 },    10, ACR_ADDRESS_LINK },
    { { 0xfe, 0xc0 },    10, ACR_ADDRESS_PRIVATE },
    { { 0 },              0, ACR_ADDRESS_UNUSABLE }
};


acr_address_e
acr_address_class(const unsigned char *a, size_t n)
{
    if (n == 4) {
        return acr_address_find(acr_address_nets4, a);
    }

    if (n == 16) {
        return acr_address_v6(a);
    }

    return ACR_ADDRESS_UNUSABLE;
}


static acr_address_e
acr_address_v6(const unsigned char *a)
{
    static const unsigned char  mapped[12] = { [10] = 0xff, [11] = 0xff };
    static const unsigned char  nat64[12] = { 0, 0x64, 0xff, 0x9b };
    static const unsigned char  to4[2] = { 0x20, 0x02 };

    if (memcmp(a, mapped, 12) == 0 || memcmp(a, nat64, 12) == 0) {
        return acr_address_find(acr_address_nets4, a + 12);
    }

    if (memcmp(a, to4, 2) == 0) {
        return acr_address_find(acr_address_nets4, a + 2);
    }

    return acr_address_find(acr_address_nets6, a);
}


/* the last of the nets has all addresses */

static acr_address_e
acr_address_find(const acr_address_net_t *net, const unsigned char *a)
{
    unsigned       bytes;
    unsigned char  mask;

    for ( /* void */ ; net->bits; net++) {

        bytes = net->bits / 8;
        mask = (unsigned char) (0xff00 >> net->bits % 8);

        if (memcmp(a, net->prefix, bytes) == 0
            && (mask == 0 || ((a[bytes] ^ net->prefix[bytes]) & mask) == 0))
        {
            break;
        }
    }

    return net->class;
}


size_t
acr_address_parse(const unsigned char *p, size_t n, unsigned char *a)
{
    char  text[INET6_ADDRSTRLEN];

    if (n == 0 || n >= sizeof(text) || memchr(p, '\0', n)) {
        return 0;
    }

    memcpy(text, p, n);
    text[n] = '\0';

    if (inet_pton(AF_INET, text, a) == 1) {
        return 4;
    }

    return (inet_pton(AF_INET6, text, a) == 1) ? 16 : 0;
}
