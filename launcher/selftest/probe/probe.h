/* What the files of the probe share. */
int report(char **args);
