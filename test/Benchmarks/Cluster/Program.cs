using System.Globalization;
using Benchmarks.Cluster;

// run [SECONDS [ROUNDS]]: starts Redis and three hosts for each backplane, measures them one after the other, and prints a table.
// host BACKPLANE CLUSTER PORT SILOPORT REDIS: runs one host.
switch (args)
{
    case ["host", var backplane, var cluster, var port, var silo, var redis]:
        await BenchmarkHost.RunAsync(Enum.Parse<BackplaneKind>(backplane), cluster, Number(port), Number(silo), redis);
        return 0;
    case [] or ["run", ..]:
        int seconds = args.Length > 1 ? Number(args[1]) : 10;
        int rounds = args.Length > 2 ? Number(args[2]) : 3;
        await Comparison.RunAsync(TimeSpan.FromSeconds(seconds), rounds);
        return 0;
    default:
        Console.Error.WriteLine("usage: run [SECONDS [ROUNDS]]");
        return 2;
}

static int Number(string text) => int.Parse(text, CultureInfo.InvariantCulture);
