using StreamsHost.Commands;
using StreamsHost.Hosting;

NativeHeaps.Limit();
HomeDirectory.Ensure();
return await CommandLine.RunAsync(args);
