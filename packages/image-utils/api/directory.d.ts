import {
  ByteSink,
  CallOptions,
  DetailOptions,
  DownloadOptions,
  DownloadReport,
  ImageLocation,
  ImageMember,
  ImageMetadata,
  ImageRecord,
  ImageService,
  ImageStore,
  Logger,
  RequestContext,
  UpdateOptions,
  UploadOptions,
  UploadSource,
} from "@disk-image/core";

export declare class DirectoryImageService implements ImageService {
  #private;
  constructor(options: DirectoryImageServiceOptions);
  show(_context: RequestContext, imageId: string, options?: CallOptions): Promise<ImageRecord>;
  detail(_context: RequestContext, options?: DetailOptions): Promise<ImageRecord[]>;
  create(context: RequestContext, metadata: ImageMetadata, options?: CallOptions & {
    readonly data?: UploadSource | undefined;
  }): Promise<ImageRecord>;
  update(context: RequestContext, imageId: string, metadata: ImageMetadata, options?: UpdateOptions): Promise<ImageRecord>;
  upload(_context: RequestContext, imageId: string, source: UploadSource, options?: UploadOptions): Promise<ImageRecord>;
  download(context: RequestContext, imageId: string, sink: ByteSink, options?: DownloadOptions): Promise<DownloadReport>;
  delete(_context: RequestContext, imageId: string, options?: CallOptions): Promise<void>;
  getStores(): Promise<{
    readonly stores: readonly ImageStore[];
  }>;
  getLocation(context: RequestContext, imageId: string): Promise<{
    readonly directUrl: string | undefined;
    readonly locations: readonly ImageLocation[];
  }>;
  addLocation(): Promise<ImageRecord>;
  listMembers(context: RequestContext, imageId: string): Promise<ImageMember[]>;
  readRange(context: RequestContext, imageId: string, offset: number, length: number, options?: CallOptions): Promise<Uint8Array>;
  clean(): Promise<string[]>;
}

interface DirectoryImageServiceOptions {
  readonly directory: string;
  readonly logger?: Logger | undefined;
}

export declare function createDirectoryImageService(options: DirectoryImageServiceOptions): ImageService;

export type {
  DirectoryImageServiceOptions,
};
