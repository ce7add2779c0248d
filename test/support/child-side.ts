// The child's side of child.ts: answers questions, tells its CPU time, and ends with its parent.

/** Answers each question but `{ cpu: true }` with what `answer` gives for it. */
export function answerParent<Question>(answer: (question: Question) => Promise<object>): void {
  let last = process.cpuUsage()
  process.on('message', (message: Question & { cpu?: boolean }) => {
    if (message.cpu !== true) {
      void answer(message).then((reply) => process.send?.(reply))
      return
    }
    const used = process.cpuUsage(last)
    last = process.cpuUsage()
    process.send?.({ cpuMicros: used.user + used.system })
  })
  process.once('disconnect', () => process.exit())
}
