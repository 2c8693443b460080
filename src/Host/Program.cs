using StreamsHost.Commands;
using StreamsHost.Hosting;

HomeDirectory.Ensure();
return await CommandLine.RunAsync(args);
