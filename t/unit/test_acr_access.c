
#include "test_acr_access.h"


static void
good(const char *s, const char *label)
{
    const char    *error;
    acr_access_t  *access;

    access = load(s, &error);

    if (!ok(access != NULL && error == NULL, "good: %s", label)) {
        printf("#   %s\n", error);
    }

    acr_access_free(access);
}


/* refused, and the error has these words */

static void
bad(const char *s, const char *words)
{
    const char    *error;
    acr_access_t  *access;

    error = NULL;
    access = load(s, &error);

    if (!ok(access == NULL && error && strstr(error, words), "bad: %.60s", s))
    {
        printf("#   \"%s\", not \"%s\"\n", error ? error : "", words);
    }

    acr_access_free(access);
}


#define bad_password(password)                                               \
    TOKEN("t", "true", "ci", password)


static void
test_load(void)
{
    good("", "nothing");
    good("{'version':1}", "the least");
    good(WHOLE, "the whole");
    good(FILE_MAPS(MAP("ci", "'a/content/read'")), "no prefix");
    good(FILE_TOKENS(TOKEN("a", "true", "_repositories_pull", "")), "system");
    good(FILE_ROLES(ROLE("a", "user:\xc3\xa9 x", "acrpull", "a/b/*")),
         "a user with a space");

    bad(" ", "JSON");
    bad("[]", "object");
    bad("{", "JSON");
    bad("{}", "version");
    bad("{'version':0}", "version");
    bad("{'version':2,'new':1}", "version");
    bad("{'version':'1'}", "version");
    bad("{'version':1.0}", "version");
    bad("{'version':1,'version':1}", "twice");
    bad("{'version':1}x", "JSON");
    bad("{'version':1,'x':1}", "object has a member that is not known");
    bad("{'version':1,'tokens':{}}", "object has a member that is not of");
    bad("{'version':1,'admin':null}", "not of its type");
    bad("{'version':1,'admin':{}}", "admin lacks");
    bad("{'version':1,'admin':{'enabled':1}}", "admin has a member that is "
                                               "not of");
    bad("{'version':1,'admin':{'enabled':true,'x':1}}", "admin has a member "
                                                        "that is not known");
    bad("{'version':1,'x':[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]"
        "]]]]]]]]]]]]]]]]]}", "deep");

    bad(FILE_MAPS("1"), "scope map has a member that is not of");
    bad(FILE_MAPS("{'name':'a'}"), "scope map lacks");
    bad(FILE_MAPS("{'name':'a','created':1,'actions':[],'x':1}"),
        "scope map has a member that is not known");
    bad(FILE_MAPS("{'name':'a','created':-1,'actions':[]}"), "not of its");
    bad(FILE_MAPS("{'name':'a','created':9007199254740993,'actions':[]}"),
        "not of its");
    bad(FILE_MAPS(MAP("", "")), "name of a scope map");
    bad(FILE_MAPS(MAP("_a", "")), "name of a scope map");
    bad(FILE_MAPS(MAP("_repositories_pull", "")), "name of a scope map");
    bad(FILE_MAPS(MAP("a/b", "")), "name of a scope map");
    bad(FILE_MAPS(MAP("a", "") "," MAP("b", "") "," MAP("a", "")), "twice");
    bad(FILE_MAPS(MAP("a", "1")), "not a string");
    bad(FILE_MAPS(MAP("a", "'repositories/a/content/reads'")), "action");
    bad(FILE_MAPS(MAP("a", "'repositories/a*/content/read'")), "action");
    bad(FILE_MAPS(MAP("a", "''")), "action");

    bad(FILE_TOKENS("[]"), "token has a member that is not of");
    bad(FILE_TOKENS("{'name':'a'}"), "token lacks");
    bad(FILE_TOKENS(TOKEN("a", "true", "cd", "")), "does not exist");
    bad(FILE_TOKENS(TOKEN("a", "true", "", "")), "does not exist");
    bad(FILE_TOKENS(TOKEN("a", "'yes'", "ci", "")), "not of its type");
    bad(FILE_TOKENS(TOKEN("admin", "true", "ci", "")), "name of a token");
    bad(FILE_TOKENS(TOKEN("Admin", "true", "ci", "")), "name of a token");
    bad(FILE_TOKENS(TOKEN("00000000-0000-0000-0000-000000000000", "true",
                          "ci", "")), "name of a token");
    bad(FILE_TOKENS(TOKEN("a b", "true", "ci", "")), "name of a token");
    bad(FILE_TOKENS(TOKEN("a\\u0000", "true", "ci", "")), "JSON");
    bad(FILE_TOKENS(TOKEN("a", "true", "ci", "") ","
                    TOKEN("a", "true", "ci", "")), "twice");

    bad(FILE_TOKENS(bad_password("{}")), "password lacks");
    bad(FILE_TOKENS(bad_password(PASSWORD("password", ID_A, "null",
                                          HASH_ONE))), "called");
    bad(FILE_TOKENS(bad_password(PASSWORD("password3", ID_A, "null",
                                          HASH_ONE))), "called");
    bad(FILE_TOKENS(bad_password(PASSWORD("password1", ID_A, "null", HASH_ONE)
                                 ","
                                 PASSWORD("password1", ID_B, "null",
                                          HASH_ONE))), "occurs twice");
    bad(FILE_TOKENS(bad_password(PASSWORD("password1", ID_A, "null", HASH_ONE)
                                 ","
                                 PASSWORD("password2", ID_A, "null",
                                          HASH_ONE))), "one id");
    bad(FILE_TOKENS(bad_password(PASSWORD("password1", "abc", "null",
                                          HASH_ONE))), "id of a password");
    bad(FILE_TOKENS(bad_password(PASSWORD("password1", "00000000000000AA",
                                          "null", HASH_ONE))), "id of a");
    bad(FILE_TOKENS(bad_password(PASSWORD("password1", ID_A, "'never'",
                                          HASH_ONE))), "not of its type");
    bad(FILE_OF("{'enabled':true,'passwords':["
                PASSWORD("password1", ID_A, "null", HASH_ONE) "]}",
                "", "", ""), "called");

    bad(FILE_ROLES("''"), "role assignment has a member that is not of");
    bad(FILE_ROLES(ROLE("_", "anonymous", "AcrPull", "*")), "id of a role");
    bad(FILE_ROLES(ROLE("a", "anonymouse", "AcrPull", "*")), "principal");
    bad(FILE_ROLES(ROLE("a", "alice", "AcrPull", "*")), "principal");
    bad(FILE_ROLES(ROLE("a", "user:", "AcrPull", "*")), "principal");
    bad(FILE_ROLES(ROLE("a", "group: a", "AcrPull", "*")), "principal");
    bad(FILE_ROLES(ROLE("a", "user:a\\n", "AcrPull", "*")), "principal");
    bad(FILE_ROLES(ROLE("a", "user:a\\u007f", "AcrPull", "*")), "principal");
    bad(FILE_ROLES(ROLE("a", "user:a\\u0085", "AcrPull", "*")), "principal");
    bad(FILE_ROLES(ROLE("a", "user:a\xff", "AcrPull", "*")), "JSON");
    bad(FILE_ROLES(ROLE("a", "anonymous", "AcrPul", "*")), "role of a");
    bad(FILE_ROLES(ROLE("a", "anonymous", "", "*")), "role of a");
    bad(FILE_ROLES(ROLE("a", "anonymous", "AcrPull", "")), "scope of a");
    bad(FILE_ROLES(ROLE("a", "anonymous", "AcrPull", "a*")), "scope of a");
    bad(FILE_ROLES(ROLE("a", "anonymous", "AcrPull", "../a")), "scope of a");
    bad(FILE_ROLES(ROLE("a", "anonymous", "AcrPull", "*") ","
                   ROLE("a", "user:a", "Owner", "*")), "twice");
}


/* each part of a hash may be wrong */

static void
test_hash(void)
{
    unsigned     i;
    char         text[1024];

    static const char *const  hashes[] = {
        "", "$", "pbkdf2-sha256$", "pbkdf2-sha512$1000$AAECAwQFBgcICQoLDA0OD"
        "w==$Zto3BW8MdvH7EToVsn78c6ZmY/8VUVaN1l7G23sOyNk=",
#define TAIL "$Zto3BW8MdvH7EToVsn78c6ZmY/8VUVaN1l7G23sOyNk="
#define SALT "AAECAwQFBgcICQoLDA0ODw=="
        "pbkdf2-sha256$" SALT TAIL,
        "pbkdf2-sha256$$" SALT TAIL,
        "pbkdf2-sha256$0$" SALT TAIL,
        "pbkdf2-sha256$999$" SALT TAIL,
        "pbkdf2-sha256$01000$" SALT TAIL,
        "pbkdf2-sha256$-1000$" SALT TAIL,
        "pbkdf2-sha256$100001$" SALT TAIL,
        "pbkdf2-sha256$4294968296$" SALT TAIL,
        "pbkdf2-sha256$1000 $" SALT TAIL,
        "pbkdf2-sha256$1000$" SALT TAIL "=",
        "pbkdf2-sha256$1000$" SALT TAIL "$",
        "pbkdf2-sha256$1000$ AECAwQFBgcICQoLDA0ODw==" TAIL,
        "pbkdf2-sha256$1000$AAECAwQFBgcICQoLDA0ODx==" TAIL,
        "pbkdf2-sha256$1000$AAECAwQFBgcICQoLDA0ODw=A" TAIL,
        "pbkdf2-sha256$1000$AAECAwQFBgcICQoLDA0O====" TAIL,
        "pbkdf2-sha256$1000$AAECAwQFBgcICQoLDA0ODwAA" TAIL,
        "pbkdf2-sha256$1000$AA-CAwQFBgcICQoLDA0ODw==" TAIL,
        "pbkdf2-sha256$1000$" SALT
        "$Zto3BW8MdvH7EToVsn78c6ZmY/8VUVaN1l7G23sOyNkA",
        "pbkdf2-sha256$1000$" SALT
        "$Zto3BW8MdvH7EToVsn78c6ZmY/8VUVaN1l7G23sOyN==",
    };

    for (i = 0; i < sizeof(hashes) / sizeof(hashes[0]); i++) {
        snprintf(text, sizeof(text), "%s%s%s",
                 "{'version':1,'admin':{'enabled':true,'passwords':["
                 "{'name':'password','created':1,'expiry':null,"
                 "'id':'0000000000000000','hash':'", hashes[i], "'}]}}");
        bad(text, "hash");
    }
}


#define P   ACR_MAY_PULL
#define W   ACR_MAY_PUSH
#define D   ACR_MAY_DELETE
#define MR  ACR_MAY_METADATA_READ
#define MW  ACR_MAY_METADATA_WRITE
#define C   ACR_MAY_CATALOG
#define E   ACR_MAY_EVENTS


typedef struct {
    const char  *name;
    unsigned     may;
} role_t;

static const role_t  roles[] = {
    { "AcrPull", P|MR|C },
    { "AcrPush", P|W|MR|C },
    { "AcrDelete", D },
    { "Reader", P|MR|C },
    { "Contributor", P|W|D|MR|MW|C|E },
    { "Owner", P|W|D|MR|MW|C|E },
    { "Container Registry Repository Reader", P|MR },
    { "Container Registry Repository Writer", P|W|MR|MW },
    { "Container Registry Repository Contributor", P|W|D|MR|MW },
    { "Container Registry Repository Catalog Lister", C },
    { "AcrImageSigner", 0 },
    { "AcrQuarantineReader", 0 },
    { "AcrQuarantineWriter", 0 },
    { "AcrEventReader", E }
};


/* a role for each kind of principal and scope */

static void
test_role(const role_t *role)
{
    char              file[2048];
    unsigned          i, j, bit, got, want;
    acr_text_t        name;
    const char       *error;
    acr_access_t     *access;
    acr_principal_t   who[3], other;

    static const struct {
        const char   *scope;
        const char   *repository;
        int           covered;
    } cases[] = {
        { "*", "app", 1 },
        { "*", "team/a/b", 1 },
        { "app", "app", 1 },
        { "app", "app/a", 0 },
        { "app", "apps", 0 },
        { "app", "other", 0 },
        { "team/*", "team/a", 1 },
        { "team/*", "team/a/b", 1 },
        { "team/*", "team", 0 },
        { "team/*", "teams/a", 0 },
        { "team/a/*", "team/b/a", 0 }
    };

    name = text_of(role->name);
    is_int(acr_access_role(&name), role->may, "%s", role->name);

    who[0] = principal(ACR_PRINCIPAL_USER, "alice", NULL);
    who[1] = principal(ACR_PRINCIPAL_USER, "carol", NULL);
    who[1].groups[0] = text_of("ops");
    who[1].groups[1] = text_of("devs");
    who[1].ngroups = 2;
    who[2] = principal(ACR_PRINCIPAL_ANONYMOUS, NULL, NULL);
    other = principal(ACR_PRINCIPAL_USER, "bob", NULL);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(file, sizeof(file),
                 "{'version':1,'roleAssignments':["
                 "{'id':'a','principal':'user:alice','role':'%s',"
                 "'scope':'%s','created':1},"
                 "{'id':'b','principal':'group:devs','role':'%s',"
                 "'scope':'%s','created':1},"
                 "{'id':'c','principal':'anonymous','role':'%s',"
                 "'scope':'%s','created':1}]}",
                 role->name, cases[i].scope, role->name, cases[i].scope,
                 role->name, cases[i].scope);

        access = load(file, &error);

        if (!ok(access != NULL, "%s on %s", role->name, cases[i].scope)) {
            continue;
        }

        for (j = 0; j < 3; j++) {
            got = may(access, &who[j], cases[i].repository);
            want = cases[i].covered ? role->may & ACR_MAY_ALL : 0;

            for (bit = P; bit <= MW; bit <<= 1) {
                is_int(got & bit, want & bit, "%s on %s, %s: bit %x, %u",
                       role->name, cases[i].scope, cases[i].repository, bit,
                       j);
            }

            is_int(got & ~ACR_MAY_ALL, 0, "no other bit");
            is_int(acr_access_registry(access, &who[j], NOW),
                   role->may & (cases[i].scope[0] == '*' ? C|E : C),
                   "the catalog and events");
        }

        is_int(may(access, &other, cases[i].repository), 0, "another user");
        is_int(acr_access_registry(access, &other, NOW), 0, "and catalog");
        is_int(acr_access_anonymous(access), (role->may & P) != 0,
               "anonymous");

        acr_access_free(access);
    }
}


static void
test_decisions(void)
{
    unsigned          i;
    acr_text_t        text;
    const char       *error;
    acr_access_t     *access;
    acr_principal_t   who;

    static const struct {
        acr_principal_e   kind;
        const char       *name;
        const char       *password;
        const char       *repository;
        unsigned          may;
        unsigned          registry;
        int               alive;
    } cases[] = {
        { ACR_PRINCIPAL_ADMIN, "admin", NULL, "a", ACR_MAY_ALL, C|E, 1 },
        { ACR_PRINCIPAL_ADMIN, NULL, ID_A, "a", ACR_MAY_ALL, C|E, 1 },
        { ACR_PRINCIPAL_ADMIN, NULL, ID_B, "a", ACR_MAY_ALL, C|E, 1 },
        { ACR_PRINCIPAL_ADMIN, NULL, ID_C, "a", 0, 0, 0 },
        { ACR_PRINCIPAL_ADMIN, NULL, "", "a", 0, 0, 0 },

        { ACR_PRINCIPAL_TOKEN, "builder", NULL, "app", P|W, 0, 1 },
        { ACR_PRINCIPAL_TOKEN, "builder", ID_C, "app", P|W, 0, 1 },
        { ACR_PRINCIPAL_TOKEN, "builder", ID_D, "app", P|W, 0, 1 },
        { ACR_PRINCIPAL_TOKEN, "builder", ID_A, "app", 0, 0, 0 },
        { ACR_PRINCIPAL_TOKEN, "builder", NULL, "app/a", 0, 0, 1 },
        { ACR_PRINCIPAL_TOKEN, "builder", NULL, "team", 0, 0, 1 },
        { ACR_PRINCIPAL_TOKEN, "builder", NULL, "team/x/y", MR, 0, 1 },
        { ACR_PRINCIPAL_TOKEN, "Builder", NULL, "app", 0, 0, 0 },
        { ACR_PRINCIPAL_TOKEN, "build", NULL, "app", 0, 0, 0 },
        { ACR_PRINCIPAL_TOKEN, "builders", NULL, "app", 0, 0, 0 },
        { ACR_PRINCIPAL_TOKEN, "", NULL, "app", 0, 0, 0 },
        { ACR_PRINCIPAL_TOKEN, NULL, NULL, "app", 0, 0, 0 },
        { ACR_PRINCIPAL_TOKEN, "admin", NULL, "app", 0, 0, 0 },
        { ACR_PRINCIPAL_TOKEN, "alice", NULL, "app", 0, 0, 0 },
        { ACR_PRINCIPAL_TOKEN, "off", NULL, "app", 0, 0, 0 },
        { ACR_PRINCIPAL_TOKEN, "off", ID_A, "app", 0, 0, 0 },
        { ACR_PRINCIPAL_TOKEN, "all", NULL, "a/b", ACR_MAY_ALL, 0, 1 },
        { ACR_PRINCIPAL_TOKEN, "all", ID_A, "a/b", 0, 0, 0 },
        { ACR_PRINCIPAL_TOKEN, "bare", NULL, "app", 0, 0, 1 },

        { ACR_PRINCIPAL_USER, "alice", NULL, "app", P|MR, C, 1 },
        { ACR_PRINCIPAL_USER, "alice", NULL, "team/a", P|MR|D, C, 1 },
        { ACR_PRINCIPAL_USER, "alic", NULL, "app", 0, 0, 1 },
        { ACR_PRINCIPAL_USER, "alice2", NULL, "app", 0, 0, 1 },
        { ACR_PRINCIPAL_USER, "builder", NULL, "app", 0, 0, 1 },
        { ACR_PRINCIPAL_USER, "admin", NULL, "app", 0, 0, 1 },
        { ACR_PRINCIPAL_USER, "signer", NULL, "app", 0, 0, 1 },
        { ACR_PRINCIPAL_USER, "devs", NULL, "app", 0, 0, 1 },
        { ACR_PRINCIPAL_USER, "", NULL, "app", 0, 0, 1 },
        { ACR_PRINCIPAL_USER, NULL, NULL, "public/a", 0, 0, 1 },
        { ACR_PRINCIPAL_USER, "bob@example.com", NULL, "app", 0, C, 1 },
        { ACR_PRINCIPAL_USER, "x\xff\n", NULL, "app", 0, 0, 1 },

        { ACR_PRINCIPAL_ANONYMOUS, NULL, NULL, "public/a", P|MR, C, 1 },
        { ACR_PRINCIPAL_ANONYMOUS, NULL, NULL, "app", 0, C, 1 },
        { ACR_PRINCIPAL_ANONYMOUS, "alice", NULL, "app", 0, C, 1 }
    };

    access = load(WHOLE, &error);

    if (!ok(access != NULL, "the whole")) {
        return;
    }

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        who = principal(cases[i].kind, cases[i].name, cases[i].password);

        is_int(may(access, &who, cases[i].repository), cases[i].may,
               "case %u: repository", i);
        is_int(acr_access_registry(access, &who, NOW), cases[i].registry,
               "case %u: registry", i);
        is_int(acr_access_alive(access, &who, NOW), cases[i].alive,
               "case %u: alive", i);
    }

    /* expiry is the first second in which it is no password any more */

    text = text_of("app");
    who = principal(ACR_PRINCIPAL_TOKEN, "builder", ID_D);
    is_int(acr_access_repository(access, &who, &text, 1790000099), P|W,
           "before");
    is_int(acr_access_repository(access, &who, &text, 1790000100), 0, "then");
    is_int(acr_access_alive(access, &who, 1790000100), 0, "not alive");
    who.password = ID_C;
    is_int(acr_access_alive(access, &who, INT64_MAX - 1), 1, "the other is");

    /* groups add up, up to the limit; a user is no group */

    who = principal(ACR_PRINCIPAL_USER, "alice", NULL);
    who.groups[0] = text_of("none");
    who.groups[ACR_ACCESS_GROUPS_MAX - 1] = text_of("devs");
    who.ngroups = ACR_ACCESS_GROUPS_MAX - 1;
    is_int(may(access, &who, "app"), P|MR, "without the last group");
    who.ngroups = ACR_ACCESS_GROUPS_MAX;
    is_int(may(access, &who, "app"), P|W|MR, "with it");
    who.ngroups = ACR_ACCESS_GROUPS_MAX + 1;
    is_int(may(access, &who, "app"), P|W|MR, "not beyond the limit");
    who.ngroups = 1;
    who.groups[0] = text_of("alice");
    is_int(may(access, &who, "app"), P|MR, "a group called as a user");

    ok(acr_access_anonymous(access), "the anonymous may pull");

    text = text_of("nobody");
    is_int(acr_access_role(&text), 0, "no role");
    text = text_of("acrpull");
    is_int(acr_access_role(&text), P|MR|C, "in lower case");
    text = text_of("");
    is_int(acr_access_role(&text), 0, "no name of a role");

    acr_access_free(access);

    access = load("", &error);
    who = principal(ACR_PRINCIPAL_ADMIN, NULL, NULL);
    is_int(may(access, &who, "a"), 0, "the admin is disabled at first");
    is_int(acr_access_registry(access, &who, NOW), 0, "and sees nothing");
    is_int(acr_access_alive(access, &who, NOW), 0, "and is not alive");
    is_int(acr_access_anonymous(access), 0, "nor is there the anonymous");
    acr_access_free(access);
}


static int
check_password(const acr_access_t *access, const char *name,
    const char *password, int64_t now, acr_principal_t *who)
{
    acr_text_t  user, pass;

    user = text_of(name);
    pass = text_of(password);

    return acr_access_password(access, &user, &pass, now, who);
}


static void
test_password(void)
{
    const char       *error;
    acr_access_t     *access;
    acr_principal_t   who;

    access = load(WHOLE, &error);

    if (!ok(access != NULL, "the whole")) {
        return;
    }

    is_int(check_password(access, "admin", ONE, NOW, &who), ACR_OK, "admin");
    ok(who.kind == ACR_PRINCIPAL_ADMIN && who.name.len == 5
       && strcmp(who.password, ID_A) == 0 && who.ngroups == 0, "is told");
    is_int(check_password(access, "admin", TWO, NOW, &who), ACR_OK, "2nd");
    ok(strcmp(who.password, ID_B) == 0, "is told apart");
    is_int(check_password(access, "builder", ONE, NOW, &who), ACR_OK,
           "a token");
    ok(who.kind == ACR_PRINCIPAL_TOKEN && who.name.len == 7
       && memcmp(who.name.data, "builder", 7) == 0
       && strcmp(who.password, ID_C) == 0, "is told");
    is_int(acr_access_alive(access, &who, NOW), 1, "and alive");
    is_int(check_password(access, "builder", TWO, NOW, &who), ACR_OK,
           "2000 iterations");

    memset(&who, 7, sizeof(acr_principal_t));
    is_int(check_password(access, "builder", TWO, NOW + 100, &who),
           ACR_INVALID, "expired");
    is_int(check_password(access, "off", ONE, NOW, &who), ACR_INVALID,
           "disabled");
    is_int(check_password(access, "off", TWO, NOW, &who), ACR_INVALID,
           "there is no second one");
    is_int(check_password(access, "bare", ONE, NOW, &who), ACR_INVALID,
           "none");
    is_int(check_password(access, "nobody", ONE, NOW, &who), ACR_INVALID,
           "unknown");
    is_int(check_password(access, "Admin", ONE, NOW, &who), ACR_INVALID,
           "not the case");
    is_int(check_password(access, "", ONE, NOW, &who), ACR_INVALID, "no name");
    is_int(check_password(access, "alice", ONE, NOW, &who), ACR_INVALID,
           "a user has no password here");
    is_int(check_password(access, "admin", "", NOW, &who), ACR_INVALID,
           "empty");
    is_int(check_password(access, "admin", ONE "A", NOW, &who), ACR_INVALID,
           "too long");
    is_int(check_password(access, "admin",
                          "a234567a234567a234567a234567a234567a234567a2345"
                          "67bcd", NOW, &who), ACR_INVALID, "another");

    acr_access_free(access);
}


static json_t *
explain(const acr_access_t *access, acr_principal_e kind, const char *name,
    const char *repository)
{
    acr_text_t       text;
    acr_principal_t  who;

    who = principal(kind, name, NULL);
    who.groups[0] = text_of("devs");
    who.ngroups = 1;

    if (repository) {
        text = text_of(repository);
    }

    return acr_access_explain(access, &who, repository ? &text : NULL, NOW);
}


/* events are of the registry: a scope map may have them, of no repository */

static void
test_events(void)
{
    json_t           *json;
    const char       *error;
    acr_access_t     *access;
    acr_principal_t   who;

    access = load("{'version':1,'scopeMaps':["
                  "{'name':'edge','created':1,'actions':["
                  "'registry/events/read','repositories/a/*/content/read']},"
                  "{'name':'all','created':1,'actions':["
                  "'registry/events/read','repositories/*/content/read']}],"
                  "'tokens':["
                  "{'name':'edge','enabled':true,'scopeMap':'edge',"
                  "'created':1,'passwords':[]},"
                  "{'name':'all','enabled':true,'scopeMap':'all',"
                  "'created':1,'passwords':[]},"
                  "{'name':'off','enabled':false,'scopeMap':'all',"
                  "'created':1,'passwords':[]},"
                  "{'name':'pull','enabled':true,"
                  "'scopeMap':'_repositories_pull','created':1,"
                  "'passwords':[]}]}", &error);

    if (!ok(access != NULL, "a scope map with events")) {
        return;
    }

    who = principal(ACR_PRINCIPAL_TOKEN, "edge", NULL);
    is_int(acr_access_registry(access, &who, NOW), E, "a token of it");
    is_int(may(access, &who, "a/b"), P, "and no more of a repository");
    is_int(may(access, &who, "b"), 0, "nor of another");

    who = principal(ACR_PRINCIPAL_TOKEN, "all", NULL);
    is_int(acr_access_registry(access, &who, NOW), E, "with a right on all");
    is_int(may(access, &who, "b"), P, "which has that only");

    who = principal(ACR_PRINCIPAL_TOKEN, "off", NULL);
    is_int(acr_access_registry(access, &who, NOW), 0, "one that is off");
    who = principal(ACR_PRINCIPAL_TOKEN, "pull", NULL);
    is_int(acr_access_registry(access, &who, NOW), 0, "one that may pull");

    json = explain(access, ACR_PRINCIPAL_TOKEN, "edge", NULL);
    ok(json_is(json, "{'principal':'token:edge','grants':["
               "{'by':'scope map edge','scope':'*','actions':['events']},"
               "{'by':'scope map edge','scope':'a/*','actions':['pull']}]}"),
       "it is told");
    json = explain(access, ACR_PRINCIPAL_TOKEN, "edge", "c");
    ok(json_is(json, "{'principal':'token:edge','grants':[]}"),
       "not of a repository");

    acr_access_free(access);
}


static json_t *
show(const acr_access_t *access, const char *kind, const char *name)
{
    acr_text_t  text;

    text = text_of(name);

    return acr_access_show(access, kind, &text);
}


static void
test_show(void)
{
    json_t        *json;
    unsigned       i;
    acr_text_t     text;
    const char    *error;
    acr_access_t  *access;

    static const char *const  kinds[] = {
        "admin", "tokens", "scope-maps", "role-assignments"
    };

    access = load(WHOLE, &error);

    if (!ok(access != NULL, "the whole")) {
        return;
    }

    ok(json_is(explain(access, ACR_PRINCIPAL_ADMIN, NULL, NULL),
               "{'principal':'admin','grants':[{'by':'admin user',"
               "'scope':'*','actions':['pull','push','delete',"
               "'metadata_read','metadata_write','catalog',"
               "'events']}]}"), "admin");

    ok(json_is(explain(access, ACR_PRINCIPAL_TOKEN, "builder", NULL),
               "{'principal':'token:builder','grants':["
               "{'by':'scope map ci','scope':'app',"
               "'actions':['pull','push']},"
               "{'by':'scope map ci','scope':'team/*',"
               "'actions':['metadata_read']}]}"), "token");

    ok(json_is(explain(access, ACR_PRINCIPAL_TOKEN, "builder", "team/a"),
               "{'principal':'token:builder','grants':["
               "{'by':'scope map ci','scope':'team/*',"
               "'actions':['metadata_read']}]}"), "token, repository");

    ok(json_is(explain(access, ACR_PRINCIPAL_TOKEN, "off", NULL),
               "{'principal':'token:off','grants':[]}"), "disabled");
    ok(json_is(explain(access, ACR_PRINCIPAL_TOKEN, "", NULL),
               "{'principal':'token:','grants':[]}"), "unknown");
    ok(explain(access, ACR_PRINCIPAL_TOKEN, "\xff", NULL) == NULL,
       "a name that is no text");

    ok(json_is(explain(access, ACR_PRINCIPAL_USER, "alice", "app"),
               "{'principal':'user:alice','grants':["
               "{'by':'role AcrPull','scope':'*',"
               "'actions':['pull','metadata_read']},"
               "{'by':'role AcrPush of group devs','scope':'app',"
               "'actions':['pull','push','metadata_read']}]}"), "user");

    ok(json_is(explain(access, ACR_PRINCIPAL_ANONYMOUS, NULL, NULL),
               "{'principal':'anonymous','grants':["
               "{'by':'role AcrPull','scope':'public/*',"
               "'actions':['pull','metadata_read','catalog']}]}"),
       "anonymous");

    text = text_of("app");
    ok(json_is(acr_access_who(access, &text, NOW),
               "[{'principal':'admin','grants':[{'by':'admin user',"
               "'scope':'*','actions':['pull','push','delete',"
               "'metadata_read','metadata_write']}]},"
               "{'principal':'token:all','grants':["
               "{'by':'scope map _repositories_admin','scope':'*','actions':"
               "['pull','push','delete','metadata_read','metadata_write']}]},"
               "{'principal':'token:builder','grants':["
               "{'by':'scope map ci','scope':'app',"
               "'actions':['pull','push']}]},"
               "{'principal':'group:devs','grants':["
               "{'by':'role AcrPush','scope':'app',"
               "'actions':['pull','push','metadata_read']}]},"
               "{'principal':'user:alice','grants':["
               "{'by':'role AcrPull','scope':'*',"
               "'actions':['pull','metadata_read']}]}]"), "who");

    ok(json_is(show(access, "admin", ""),
               "{'username':'admin','enabled':true,'passwords':["
               "{'name':'password','created':1,'expiry':null},"
               "{'name':'password2','created':1,'expiry':null}]}"), "admin");
    ok(json_is(show(access, "tokens", "builder"),
               "{'name':'builder','enabled':true,'scopeMap':'ci',"
               "'created':1,'passwords':["
               "{'name':'password1','created':1,'expiry':null},"
               "{'name':'password2','created':1,'expiry':1790000100}]}"),
       "a token");
    ok(json_is(show(access, "scope-maps", "_repositories_push"),
               "{'name':'_repositories_push','type':'SystemDefined',"
               "'actions':['repositories/*/content/read',"
               "'repositories/*/content/write']}"), "a system map");
    ok(json_is(show(access, "scope-maps", "none"),
               "{'name':'none','type':'UserDefined','description':'',"
               "'created':1,'actions':[]}"), "an own map");
    ok(json_is(show(access, "role-assignments", "r3"),
               "{'id':'r3','principal':'group:devs','role':'AcrPush',"
               "'scope':'app','created':1}"), "a role assignment");

    ok(show(access, "tokens", "nobody") == NULL, "no token");
    ok(show(access, "scope-maps", "_") == NULL, "no scope map");
    ok(show(access, "role-assignments", "r") == NULL, "no assignment");
    ok(show(access, "nothing", "") == NULL, "no kind");
    ok(show(access, "admin", "admin") == NULL, "admin has no name");

    for (i = 0; i < 4; i++) {
        json = show(access, kinds[i], "");
        ok(json && !json_has(json, "pbkdf2") && !json_has(json, "hash"),
           "no hashes in %s", kinds[i]);
        ok(i == 0 || json_array_size(json) == (i == 1 ? 4 : i == 2 ? 7 : 6),
           "all %s", kinds[i]);
        json_decref(json);
    }

    json = acr_access_who(access, &text, NOW);
    ok(json && !json_has(json, "pbkdf2"), "no hashes in who");
    json_decref(json);

    acr_access_free(access);
}


/* what has n elements, each printed with its number, in brackets */

static void
limit(const char *head, const char *element, unsigned n, const char *tail,
    const char *error)
{
    char      *text, *p;
    size_t     size;
    unsigned   i;

    size = strlen(head) + n * (strlen(element) + 8) + strlen(tail) + 1;
    text = malloc(size);

    if (text == NULL) {
        exit(2);
    }

    p = text + sprintf(text, "%s", head);

    for (i = 0; i < n; i++) {
        p += sprintf(p, "%s", i ? "," : "");

        /* the number stands where the element has a "#" */

        p += sprintf(p, "%.*s%u%s", (int) strcspn(element, "#"), element, i,
                     element + strcspn(element, "#") + 1);
    }

    sprintf(p, "%s", tail);

    if (error) {
        bad(text, error);

    } else {
        good(text, head);
    }

    free(text);
}


static void
test_limits(void)
{
    size_t          n;
    const char     *error;
    unsigned char  *text;

    limit("{'version':1,'tokens':[", TOKEN("a#", "true",
                                           "_repositories_pull", ""),
          10000, "]}", NULL);
    limit("{'version':1,'tokens':[", TOKEN("a#", "true",
                                           "_repositories_pull", ""),
          10001, "]}", "10000 tokens");
    limit("{'version':1,'scopeMaps':[", MAP("a#", ""), 1000, "]}", NULL);
    limit("{'version':1,'scopeMaps':[", MAP("a#", ""), 1001, "]}",
          "1000 scope maps");
    limit("{'version':1,'roleAssignments':[",
          ROLE("a#", "user:a", "Owner", "*"), 10000, "]}", NULL);
    limit("{'version':1,'roleAssignments':[",
          ROLE("a#", "user:a", "Owner", "*"), 10001, "]}",
          "10000 role assignments");
    limit("{'version':1,'scopeMaps':[{'name':'a','created':1,'actions':[",
          "'a#/content/read'", 500, "]}]}", NULL);
    limit("{'version':1,'scopeMaps':[{'name':'a','created':1,'actions':[",
          "'a#/content/read'", 501, "]}]}", "500 actions");
    limit("{'version':1,'x':[", "#", 2000001, "]}", "too many values");

    limit("{'version':1,'scopeMaps':[{'name':'", "#", 38, "'}]}", "lacks");
    good(FILE_MAPS(MAP("a123456789012345678901234567890123456789012345678901"
                       "23456789012b", "")), "64 bytes of a name");
    bad(FILE_MAPS(MAP("a123456789012345678901234567890123456789012345678901"
                      "234567890123b", "")), "name of a scope map");

    n = 32 * 1024 * 1024 + 1;
    text = malloc(n);

    if (text == NULL) {
        exit(2);
    }

    memset(text, ' ', n);
    memcpy(text, "{\"version\":1}", 13);
    ok(acr_access_load(text, n, &error) == NULL && strstr(error, "32 MiB"),
       "too long a text");
    free(text);
}


int
main(void)
{
    unsigned  i;

    test_load();
    test_hash();

    for (i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
        test_role(&roles[i]);
    }

    test_decisions();
    test_password();
    test_show();
    test_events();
    test_limits();

    return done();
}
