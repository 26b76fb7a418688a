#if __has_include("stamp.h")
#include "stamp.h"
#endif
#define main stage_main
#include "../../../nsexec/init/init.c"
