
#include "acr_address.h"
#include "tap.h"


static void
is_class(const char *text, acr_address_e want)
{
    size_t         n;
    unsigned char  a[16];

    n = acr_address_parse((const unsigned char *) text, strlen(text), a);

    if (!ok(n, "%s is an address", text)) {
        return;
    }

    is_int(acr_address_class(a, n), want, "%s is of class %d", text, want);
}


static void
no_address(const char *text, size_t n)
{
    unsigned char  a[16];

    is_int(acr_address_parse(tap_copy(text, n), n, a), 0, "\"%s\" is none",
           text);
}


#define none(s)  no_address(s, sizeof(s) - 1)


static void
classes_of_v4(void)
{
    size_t  i;

    static const char  *public[] = {
        "1.0.0.0", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255",
        "100.128.0.0", "126.255.255.255", "128.0.0.0", "168.63.129.15",
        "168.63.129.17", "169.253.255.255", "169.255.0.0", "172.15.255.255",
        "172.32.0.0", "192.0.1.0", "192.167.255.255", "192.169.0.0",
        "198.17.255.255", "198.20.0.0", "223.255.255.255"
    };

    static const char  *private[] = {
        "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255",
        "100.100.100.199", "127.0.0.1", "127.255.255.255", "172.16.0.0",
        "172.31.255.255", "192.168.0.0", "192.168.255.255", "198.18.0.0",
        "198.19.255.255"
    };

    static const char  *link[] = {
        "169.254.0.0", "169.254.169.254", "169.254.255.255", "168.63.129.16",
        "100.100.100.200"
    };

    static const char  *unusable[] = {
        "0.0.0.0", "0.255.255.255", "192.0.0.1", "192.0.2.1", "192.88.99.1",
        "198.51.100.7", "203.0.113.255", "224.0.0.0", "239.255.255.255",
        "240.0.0.0", "255.255.255.255"
    };

    for (i = 0; i < sizeof(public) / sizeof(public[0]); i++) {
        is_class(public[i], ACR_ADDRESS_PUBLIC);
    }

    for (i = 0; i < sizeof(private) / sizeof(private[0]); i++) {
        is_class(private[i], ACR_ADDRESS_PRIVATE);
    }

    for (i = 0; i < sizeof(link) / sizeof(link[0]); i++) {
        is_class(link[i], ACR_ADDRESS_LINK);
    }

    for (i = 0; i < sizeof(unusable) / sizeof(unusable[0]); i++) {
        is_class(unusable[i], ACR_ADDRESS_UNUSABLE);
    }
}


static void
classes_of_v6(void)
{
    size_t  i;

    static const char  *public[] = {
        "2000::", "2001:200::1", "2001:4860:4860::8888", "2003::1",
        "2a00:1450::1", "3fff:1000::", "3fff:ffff::1",
        "2001:db7:ffff::", "2001:db9::", "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8", "2002:808:808::1"
    };

    static const char  *private[] = {
        "::1", "fc00::", "fd00:ec2::253", "fd12:3456::1", "fdff:ffff::ffff",
        "fec0::1", "feff::1", "::ffff:127.0.0.1", "::ffff:7f00:1",
        "::ffff:10.1.2.3", "64:ff9b::10.0.0.1", "64:ff9b::7f00:1",
        "2002:7f00:1::", "2002:c0a8:101::1"
    };

    static const char  *link[] = {
        "fe80::1", "febf:ffff::1", "fd00:ec2::254", "fd20:ce::254",
        "::ffff:169.254.169.254", "64:ff9b::169.254.169.254",
        "2002:a9fe:a9fe::"
    };

    static const char  *unusable[] = {
        "::", "::2", "::7f00:1", "::8.8.8.8", "::ffff:0.0.0.0",
        "::ffff:224.0.0.1", "::fffe:8.8.8.8", "::1:ffff:8.8.8.8",
        "64:ff9b::255.255.255.255", "64:ff9b:1::8.8.8.8", "100::1",
        "1fff::1", "2001::1", "2001:1ff::1", "2001:db8::1", "3fff:fff::1",
        "2002:e000:1::", "4000::1", "5f00::1", "fe00::1", "fe7f::1",
        "ff00::", "ff02::1"
    };

    for (i = 0; i < sizeof(public) / sizeof(public[0]); i++) {
        is_class(public[i], ACR_ADDRESS_PUBLIC);
    }

    for (i = 0; i < sizeof(private) / sizeof(private[0]); i++) {
        is_class(private[i], ACR_ADDRESS_PRIVATE);
    }

    for (i = 0; i < sizeof(link) / sizeof(link[0]); i++) {
        is_class(link[i], ACR_ADDRESS_LINK);
    }

    for (i = 0; i < sizeof(unusable) / sizeof(unusable[0]); i++) {
        is_class(unusable[i], ACR_ADDRESS_UNUSABLE);
    }
}


int
main(void)
{
    unsigned char  a[16];

    classes_of_v4();
    classes_of_v6();

    memset(a, 8, sizeof(a));
    is_int(acr_address_class(a, 0), ACR_ADDRESS_UNUSABLE, "no bytes");
    is_int(acr_address_class(a, 5), ACR_ADDRESS_UNUSABLE, "five bytes");

    none("");
    none(".");
    none("localhost");
    none("1.2.3");
    none("1.2.3.4.");
    none("1.2.3.4.5");
    none("1.2.3.256");
    none("1.2.3.4 ");
    none(" 1.2.3.4");
    none("1.2.3.4\0");
    none("1.2.3.4\0x");
    none("0x7f.0.0.1");
    none("2130706433");
    none("[::1]");
    none("::1%lo");
    none("fe80::1%1");
    none(":::1");
    none("1:2:3:4:5:6:7:8:9");
    none("::ffff:255.255.255.255:255.255.255.255:aaaaaaaaaaaaaaa");
    none("1.example");

    return done();
}
