// Shows the server's health and the jobs, and posts new ones.
const byId = (id) => document.getElementById(id);

async function refresh() {
  const health = await (await fetch("/api/health")).json();
  byId("health").textContent = `${health.status}: ${health.NODE_ENV}, ${health.RUNTIME}, queue in ${health.queue}`;
  const jobs = await (await fetch("/api/jobs")).json();
  byId("jobs").replaceChildren(
    ...jobs.map((job) => {
      const item = document.createElement("li");
      item.textContent = `${job.id}: ${job.state}`;
      return item;
    }),
  );
}

byId("post").addEventListener("click", async () => {
  await fetch("/api/jobs", { method: "POST", body: JSON.stringify({ from: "client" }) });
  await refresh();
});

setInterval(() => refresh().catch((problem) => (byId("health").textContent = String(problem))), 1000);
