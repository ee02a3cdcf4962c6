"""Files that devices upload: traces and the results of scripts."""
