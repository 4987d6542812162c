"""What runs inside the sandbox. These files import only the standard library and one another.

They are started by the bare interpreter, without the rest of rewardlab: `zygote` waits for programs, `watcher` and `keeper`
run one of them, `program` is the program's own process, and `grading` asks it questions over `remote`.
"""
