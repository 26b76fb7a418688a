#if __has_include("stamp.h")
#include "stamp.h"
#endif
#include "../../../nsexec/init/keys.c"
